// Prints the keys of Kafka's three clients: client, key, type, default, what Java says is valid. keys.tsv is what
// it said with kafka-clients 4.3.1: java -cp kafka-clients-4.3.1.jar:slf4j-api.jar ClientKeys.java > keys.tsv
import java.util.TreeMap;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;

public class ClientKeys {
    static void print(String client, ConfigDef definition) {
        for (var key : new TreeMap<>(definition.configKeys()).values()) {
            var missing = key.defaultValue == ConfigDef.NO_DEFAULT_VALUE;
            var value = missing ? "required" : String.valueOf(key.defaultValue);
            var valid = key.validator == null ? "" : key.validator.toString();
            System.out.println(String.join("\t", client, key.name, key.type.toString(), value, valid));
        }
    }

    public static void main(String[] arguments) {
        print("producer", ProducerConfig.configDef());
        print("consumer", ConsumerConfig.configDef());
        print("admin", AdminClientConfig.configDef());
    }
}
